"""Let a model read longer than it was trained, without training: choose a method, see what it does, use it, save it."""

# The file of the same name is loaded first, so that the function is what the package's name gives.
from paribus.context_extension.extend import extend as extend
from paribus.context_extension.extend import restore as restore
