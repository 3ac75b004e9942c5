"""What keyvault reads elsewhere: an OpenID Connect issuer, and stores of secrets that others keep."""
