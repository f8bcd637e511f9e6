#!/bin/sh
# Leave out of an environment what a server never uses: installers, tests of libraries, and OpenVINO's plugins for other
# devices and readers of other formats than ONNX. Prints what it takes then, in MB.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)
rm -rf "$packages"/pip "$packages"/pip-* "$packages"/setuptools "$packages"/setuptools-* "$packages"/pkg_resources "$1"/bin/pip*
find "$packages" -type d -name tests -not -path "*/lapel/*" -prune -exec rm -rf {} +
find "$packages" \( -name "*.pyi" -o -name "*.a" -o -name "*.h" \) -delete
for part in intel_gpu_plugin intel_npu_plugin npu tensorflow_frontend tensorflow_lite_frontend pytorch_frontend paddle_frontend jax_frontend gguf_frontend; do
  rm -f "$packages"/openvino/libs/libopenvino_$part.so*
done
rm -f "$packages"/openvino/libs/cache.json
du -sm "$1" | cut -f1
