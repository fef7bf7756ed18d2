"""From a spec to a verified data set and a trained operator. Importing it starts no MPI."""
