#!/bin/sh
# Passes when the program given fails because of its leak, and for no other reason.
if output=$("$1" 2>&1); then
    echo "the leak was not noticed:"
    echo "$output"
    exit 1
fi
echo "$output"
case $output in
*"rig_expect_no_leak: this test leaked"*) echo "the leak was caught" ;;
*)
    echo "it failed, but not because of the leak"
    exit 1
    ;;
esac
