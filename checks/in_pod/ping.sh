# Run in the pod redis-test, from stdin: PING until Redis answers, five times at most.
# A network that enforces policies hears of a new pod a moment after it has started, and until then refuses it whatever
# its labels; only a pod that is refused for some seconds is one that shall be.
exec 2>&1
for attempt in 1 2 3 4 5; do
  redis-cli -t 5 -h redis-service -p 6379 PING </dev/null && exit
  sleep 1
done
