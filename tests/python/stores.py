"""What the policies that `tachograph bucket policies` prints allow and forbid, tried on a real S3 server.

    stores.py roles ENDPOINT POLICIES     each role with credentials of its own, on a bucket of its own
    stores.py plain ENDPOINT BUCKET       makes a bucket without Object Lock
    stores.py brief ENDPOINT BUCKET       what the doctor left is locked for less than a minute
    stores.py put ENDPOINT BUCKET KEY     puts an object there
    stores.py without ENDPOINT ACTION     prints credentials, as variables, of somebody who may do all but that

POLICIES is what `tachograph bucket policies --json` printed for the bucket `roles` and the prefix `prod/`.
Credentials are taken from the environment; those of a role are the server's own temporary ones, bound to its policy.
"""

import datetime
import json
import os
import pathlib
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = "roles"
READS = {"read", "read a version", "list", "list versions"}
SEES_LOCKS = READS | {"see a lock"}
AUDITS = SEES_LOCKS | {"see versioning", "see the bucket's lock"}

ALLOWED = {
    "writer": AUDITS | {"write", "destroy a probe", "hide a probe"},
    "reader": READS,
    "auditor": AUDITS,
    "destroyer": SEES_LOCKS | {"destroy a body"},
    "holder": SEES_LOCKS | {"hold a body"},
}


def connect(service, endpoint, **credentials):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
    region = os.environ["AWS_REGION"]
    return boto3.client(service, region_name=region, endpoint_url=endpoint, config=config, **credentials)


def bound(endpoint, policy):
    """Credentials that may do what the policy says, and nothing else."""
    sts = connect("sts", endpoint)
    answer = sts.assume_role(
        RoleArn="arn:aws:iam::000000000000:role/test", RoleSessionName="test", Policy=json.dumps(policy), DurationSeconds=900
    )
    return answer["Credentials"]


def without(endpoint, action):
    may = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
    given = bound(endpoint, {"Version": "2012-10-17", "Statement": [may, {**may, "Effect": "Deny", "Action": [action]}]})
    names = {"AccessKeyId": "AWS_ACCESS_KEY_ID", "SecretAccessKey": "AWS_SECRET_ACCESS_KEY", "SessionToken": "AWS_SESSION_TOKEN"}
    print(json.dumps([[variable, given[name]] for name, variable in names.items()]))


def role(endpoint, policy):
    """An S3 client that may do what the policy says, and nothing else."""
    given = bound(endpoint, policy)
    return connect(
        "s3",
        endpoint,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def attempts(owner, s3):
    """What a role may try: name and call. Each is given an object of its own to destroy or to hide."""

    def new(key):
        return owner.put_object(Bucket=BUCKET, Key=key, Body=b"evidence")["VersionId"]

    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": soon}
    body, leaf, probe = "prod/records/x", "prod/leaves/x", "prod/probe/x"
    of_body, of_leaf, of_probe, other = new(body), new(leaf), new(probe), new("other/x")
    new("prod/commit/1")
    owner.put_object(Bucket=BUCKET, Key="prod/checkpoint/1", Body=b"evidence", **lock)
    hold = {"LegalHold": {"Status": "ON"}}
    return {
        "read": lambda: s3.get_object(Bucket=BUCKET, Key=body),
        "read a version": lambda: s3.get_object(Bucket=BUCKET, Key=leaf, VersionId=of_leaf),
        "list": lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix="prod/records/"),
        "list versions": lambda: s3.list_object_versions(Bucket=BUCKET, Prefix="prod/"),
        "see a lock": lambda: s3.get_object_retention(Bucket=BUCKET, Key="prod/checkpoint/1"),
        "see versioning": lambda: s3.get_bucket_versioning(Bucket=BUCKET),
        "see the bucket's lock": lambda: s3.get_object_lock_configuration(Bucket=BUCKET),
        "write": lambda: s3.put_object(Bucket=BUCKET, Key="prod/records/y", Body=b"new", IfNoneMatch="*", **lock),
        "hold a body": lambda: s3.put_object_legal_hold(Bucket=BUCKET, Key=body, **hold),
        "hold a proof": lambda: s3.put_object_legal_hold(Bucket=BUCKET, Key=leaf, **hold),
        "hide a body": lambda: s3.delete_object(Bucket=BUCKET, Key=body),
        "hide a proof": lambda: s3.delete_object(Bucket=BUCKET, Key="prod/commit/1"),
        "destroy a proof": lambda: s3.delete_object(Bucket=BUCKET, Key=leaf, VersionId=of_leaf),
        "destroy a probe": lambda: s3.delete_object(Bucket=BUCKET, Key=probe, VersionId=of_probe),
        "hide a probe": lambda: s3.delete_object(Bucket=BUCKET, Key="prod/probe/y"),
        "read elsewhere": lambda: s3.get_object(Bucket=BUCKET, Key="other/x"),
        "list elsewhere": lambda: s3.list_object_versions(Bucket=BUCKET, Prefix="other/"),
        "write elsewhere": lambda: s3.put_object(Bucket=BUCKET, Key="other/y", Body=b"new"),
        "destroy elsewhere": lambda: s3.delete_object(Bucket=BUCKET, Key="other/x", VersionId=other),
        "suspend versioning": lambda: s3.put_bucket_versioning(
            Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
        ),
        "see the policy": lambda: s3.get_bucket_policy(Bucket=BUCKET),
        "let go of the policy": lambda: s3.delete_bucket_policy(Bucket=BUCKET),
        # The hold is off again, or nobody could.
        "destroy a body": lambda: destroy(owner, s3, body, of_body),
    }


def destroy(owner, s3, key, version):
    owner.put_object_legal_hold(Bucket=BUCKET, Key=key, VersionId=version, LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=BUCKET, Key=key, VersionId=version)


def code(error):
    return error.response["Error"]["Code"]


def roles(endpoint, policies):
    owner = connect("s3", endpoint)
    owner.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    # The server reads every action, condition and resource in it, and takes none that it does not know.
    owner.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policies["bucket"]))
    assert set(policies) - {"bucket"} == set(ALLOWED), policies.keys()
    for name, allowed in ALLOWED.items():
        s3, done = role(endpoint, policies[name]), set()
        for what, attempt in attempts(owner, s3).items():
            try:
                attempt()
                done.add(what)
            except ClientError as error:
                assert code(error) == "AccessDenied", f"{name}: {what}: {error}"
        assert done == allowed, f"{name} may {done - allowed}, and may not {allowed - done}"
        for ask in (s3.get_object, s3.head_object):
            try:
                ask(Bucket=BUCKET, Key="prod/ledger.json")
                raise AssertionError("an object that is not there")
            except ClientError as error:
                assert code(error) in ("NoSuchKey", "404"), f"{name}: a missing object looks forbidden: {error}"
    print(f"{len(ALLOWED)} roles")


def brief(endpoint, bucket):
    s3 = connect("s3", endpoint)
    left = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert left and all(version["Key"].startswith("prod/probe/") for version in left), left
    for version in left:
        held = s3.head_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
        days = held["ObjectLockRetainUntilDate"] - held["LastModified"]
        assert days < datetime.timedelta(minutes=1), held


def main():
    match sys.argv[1:]:
        case ["roles", endpoint, policies]:
            roles(endpoint, json.loads(pathlib.Path(policies).read_text(encoding="utf-8")))
        case ["brief", endpoint, bucket]:
            brief(endpoint, bucket)
        case ["put", endpoint, bucket, key]:
            connect("s3", endpoint).put_object(Bucket=bucket, Key=key, Body=b"evidence")
        case ["without", endpoint, action]:
            without(endpoint, action)
        case ["plain", endpoint, bucket]:
            connect("s3", endpoint).create_bucket(Bucket=bucket)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
