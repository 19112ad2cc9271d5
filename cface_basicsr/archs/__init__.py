"""Networks. Each `*_arch.py` registers its classes by `registration.arch`."""
