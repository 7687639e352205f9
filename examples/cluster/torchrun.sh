#!/bin/sh
# Train on two nodes with torchrun. Run on each node: sh torchrun.sh HOST, with the same HOST, one of the two nodes.
# A failed process is started again from the newest checkpoint, at most three times.
set -eu
exec torchrun --nnodes 2 --nproc_per_node 8 --max-restarts 3 \
    --rdzv_backend c10d --rdzv_id convmodel --rdzv_endpoint "$1:29500" \
    -m convmodel.trainer fit --config config.yaml --ckpt_path last \
    --trainer.num_nodes 2 --trainer.devices 8 --trainer.strategy ddp
