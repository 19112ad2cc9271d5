"""A list of photographs, packed into stores."""
