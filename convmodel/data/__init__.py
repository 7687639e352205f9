"""Reading and writing data: files and Hub data sets enter, conversations, documents and selection examples leave."""
