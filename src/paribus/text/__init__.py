"""Reading text: files and folders of every usual form, named corpora, splits and prepared bytes. Imports no torch."""
