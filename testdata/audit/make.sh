#!/bin/sh
# Writes the listings of these rulesets, by nft in a network namespace. Needs root.
cd "$(dirname "$0")" || exit 1
for file in *.nft; do
	unshare -n sh -c "nft -f '$file' && nft -j list ruleset" >"${file%.nft}.json"
done
