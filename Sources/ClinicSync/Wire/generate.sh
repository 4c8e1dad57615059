#!/bin/sh
# Makes clinicsync.pb.swift of clinicsync.proto. Needs protoc (Debian: protobuf-compiler); the plugin is built from
# the package's own swift-protobuf, so that generator and library are of one version.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
swift build --product protoc-gen-swift
protoc \
    --plugin="protoc-gen-swift=$(swift build --show-bin-path)/protoc-gen-swift" \
    --proto_path="$here" \
    --swift_out="$here" \
    --swift_opt=Visibility=Package \
    --swift_opt=UseAccessLevelOnImports=true \
    clinicsync.proto
