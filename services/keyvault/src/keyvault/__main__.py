"""`python -m keyvault`"""

from keyvault.main import run

run()
