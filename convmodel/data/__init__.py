"""Files and Hub data sets in, conversations, documents and selection examples out."""
