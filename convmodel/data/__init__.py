"""Reading and writing data: conversations, documents and selection examples, from files and data sets of the Hub."""
