"""Where the finished shards of a run are: a local folder, or a URL of an object store such as S3."""
