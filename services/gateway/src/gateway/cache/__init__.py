"""What is kept in the cache Redis: sealed, small, for a while, and never needed for a call to be right."""
