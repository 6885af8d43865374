"""Records and findings rendered as figures and one offline page."""
