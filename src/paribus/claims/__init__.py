"""The claims: one file each, importing one builds frozen data only."""
