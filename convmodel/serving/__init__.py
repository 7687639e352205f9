"""A Responder in, a service that talks over HTTP out; knows nothing of tensors."""
