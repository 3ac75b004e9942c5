"""How the management APIs speak HTTP: the app around the routes, who calls, lists and pages."""
