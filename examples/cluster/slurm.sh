#!/bin/bash
# Train on two nodes with SLURM: sbatch slurm.sh. A job that is preempted or whose node fails is queued again, and
# goes on from the newest checkpoint.
#SBATCH --job-name=convmodel
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
set -eu
host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# One torchrun per node, which starts a process for each GPU and takes the place of Lightning's own SLURM support.
srun torchrun --nnodes "$SLURM_NNODES" --nproc_per_node 8 --max-restarts 3 \
    --rdzv_backend c10d --rdzv_id "$SLURM_JOB_ID" --rdzv_endpoint "$host:29500" \
    -m convmodel.trainer fit --config config.yaml --ckpt_path last \
    --trainer.num_nodes "$SLURM_NNODES" --trainer.devices 8 --trainer.strategy ddp
