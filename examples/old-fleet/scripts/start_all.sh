#!/bin/bash
# Starts what starts.
export MAINPC_IP=192.168.100.16
export PC2_HOST=192.168.100.17
cd "$(dirname "$0")/.."
for agent in main_pc_code/agents/*.py; do
  python "$agent" &
  sleep 2
done
wait
