"""Two versions of a report compared, and the page that tells."""
