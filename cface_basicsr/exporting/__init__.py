"""From a trained network to files that others open: each is compared with the network before it is written."""
