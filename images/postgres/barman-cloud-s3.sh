# What the scripts beside this file share: requests to S3 as Barman Cloud makes them, without the half second and more
# that Python and boto3 need to start, in which nobody can write.

# Whether this is S3 that curl can sign for: s3_is_plain CLOUD-PROVIDER
s3_is_plain() {
  [ "$1" = aws-s3 ] && [ -n "${AWS_ACCESS_KEY_ID:-}" ] && [ -n "${AWS_SECRET_ACCESS_KEY:-}" ] &&
    [ -z "${AWS_SESSION_TOKEN:-}" ]
}

# s3 SECONDS ARGUMENT... of curl. The login comes on stdin, and so is in no argument list.
s3() {
  seconds=$1
  shift
  printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" | curl --config - --silent --fail \
    --max-time "$seconds" --aws-sigv4 "aws:amz:${AWS_DEFAULT_REGION:-us-east-1}:s3" "$@"
}

# Sets $bucket and $key, where Barman Cloud keeps a file but for the suffix of its compression: s3_find s3://BUCKET/PATH
# SERVER WAL
s3_find() {
  place=${1#s3://}
  bucket=${place%%/*}
  path=${place#"$bucket"}
  path=${path#/}
  path=${path%/}
  case $3 in
    *.history) folder= ;;
    *) folder=$(printf '%.16s' "$3")/ ;;
  esac
  key=${path:+$path/}$2/wals/$folder$3
}
