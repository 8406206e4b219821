#!/bin/bash
# Figure 3 on a TPU slice: NAME=my-slice ZONE=us-west4-a bash examples/cluster/tpu_pod.sh
# Every host of the slice has a checkout with its environment (BUILD.md, extra tpu) in ~/ticketjax and
# the bucket or file store of the results at /mnt/results. JAX asks the slice's metadata server.
set -euo pipefail

gcloud compute tpus tpu-vm ssh "${NAME:?the name of the slice}" --zone="${ZONE:?its zone}" \
    --worker=all --command="cd ticketjax && .venv/bin/python -m experiments.paper --figure=3 \
        --seeds=1000 --out=/mnt/results/paper --distributed"
