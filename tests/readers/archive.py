"""A bucket without our code: boto3 makes it and fetches the objects, DuckDB reads the lines out of them.

usage: archive.py make BUCKET [--no-lock]     a bucket, with Object Lock unless told otherwise
       archive.py objects BUCKET [PREFIX]     one JSON object a version: key, version, bytes, sha256, mode, until, legal_hold, metadata
       archive.py lines BUCKET PREFIX         every line below PREFIX, objects in the order of their keys
       archive.py count BUCKET PREFIX         the number of lines by Hive path, as JSON: cluster, log, dt, hour, node, lines
Environment: S3_ENDPOINT, S3_KEY, S3_SECRET, as in the `env` file of the servers.
"""
import hashlib
import json
import os
import pathlib
import sys
import tempfile

import boto3
import duckdb
from botocore.config import Config
from botocore.exceptions import ClientError


def client():
    return boto3.client(
        "s3", endpoint_url=os.environ["S3_ENDPOINT"], aws_access_key_id=os.environ["S3_KEY"], aws_secret_access_key=os.environ["S3_SECRET"],
        region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}))


def make(bucket, *options):
    client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket="--no-lock" not in options)


def keys(s3, bucket, prefix):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", []))


def unless_refused(ask):
    try:
        return ask()
    except ClientError:
        return None


def objects(bucket, prefix=""):
    s3 = client()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Versions", []):
            held = s3.get_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
            body = held["Body"].read()
            where = {"Bucket": bucket, "Key": entry["Key"], "VersionId": entry["VersionId"]}
            # Asked for by themselves: not every server repeats them with the object.
            retention = unless_refused(lambda: s3.get_object_retention(**where)["Retention"]) or {}
            hold = unless_refused(lambda: s3.get_object_legal_hold(**where)["LegalHold"]["Status"])
            until = retention.get("RetainUntilDate")
            print(json.dumps({
                "key": entry["Key"], "version": entry["VersionId"], "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(),
                "mode": retention.get("Mode"), "until": until.isoformat() if until else None, "legal_hold": hold, "metadata": held["Metadata"]}))


def fetched(bucket, prefix, folder):
    """Stores the objects below prefix in folder, under their keys, and returns the pattern that matches them."""
    s3 = client()
    for key in keys(s3, bucket, prefix):
        path = pathlib.Path(folder, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(path))
    return f"{folder}/**/*.jsonl.zst"


def lines(bucket, prefix):
    with tempfile.TemporaryDirectory() as folder:
        pattern = fetched(bucket, prefix, folder)
        for path in sorted(pathlib.Path(folder).glob(pattern[len(folder) + 1:])):
            rows = duckdb.sql(f"SELECT json FROM read_ndjson_objects('{path}', compression='zstd')").fetchall()
            for (line,) in rows:
                print(line)


def count(bucket, prefix):
    with tempfile.TemporaryDirectory() as folder:
        pattern = fetched(bucket, prefix, folder)
        rows = duckdb.sql(f"""
            SELECT cluster, log, dt::VARCHAR, hour::VARCHAR, node, count(*)
            FROM read_ndjson_objects('{pattern}', compression='zstd', hive_partitioning=true)
            GROUP BY ALL ORDER BY ALL""").fetchall()
        for row in rows:
            print(json.dumps(dict(zip(["cluster", "log", "dt", "hour", "node", "lines"], row))))


verb, *rest = sys.argv[1:]
{"make": make, "objects": objects, "lines": lines, "count": count}[verb](*rest)
