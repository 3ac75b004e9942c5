"""Where the request log and its rollups are kept: SQL, one function a statement."""
