#!/bin/bash
# Figure 3 on four hosts of eight GPUs: sbatch examples/cluster/slurm.sh, from the checkout.
# One process per host, which shares its work among the host's GPUs; JAX reads the job from Slurm.
#SBATCH --job-name=ticketjax
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=02:00:00
#SBATCH --output=ticketjax-%j.txt
set -euo pipefail

# On a file system that all hosts see. The same command resumes an interrupted job.
out=${TICKETJAX_OUT:-$SLURM_SUBMIT_DIR/results/paper}

srun --kill-on-bad-exit=1 .venv/bin/python -m experiments.paper --figure=3 --seeds=1000 \
    --out="$out" --compilation_cache="$SLURM_SUBMIT_DIR/.cache/jax" --distributed
