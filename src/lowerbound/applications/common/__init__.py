"""What all applications share: requests, reports, rows in and out, parts that resume."""
