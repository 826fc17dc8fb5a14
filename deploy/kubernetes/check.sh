#!/usr/bin/env bash
# Checks the manifests against the published schemas: Kubernetes' own from PyPI
# (kubernetes-validate), KEDA's from the Go module proxy. `cargo xtask manifests`; needs Python with
# venv, and Go.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet kubernetes-validate==1.37.0
module=github.com/kedacore/keda/v2@v2.21.0
keda=$(cd "$work" && GOFLAGS=-mod=mod GOMODCACHE=$work/go go mod download -json "$module" \
  | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
"$work/venv/bin/python" - "$keda" <<'EOF'
import sys, pathlib, yaml, jsonschema, kubernetes_validate

crds = {}
for path in pathlib.Path(sys.argv[1], "config/crd/bases").glob("keda.sh_*.yaml"):
    crd = yaml.safe_load(path.read_text())
    for version in crd["spec"]["versions"]:
        kind = (crd["spec"]["group"] + "/" + version["name"], crd["spec"]["names"]["kind"])
        crds[kind] = version["schema"]["openAPIV3Schema"]

def close(schema):
    """An unknown member is a misspelt one."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)

def check(document):
    kind = (document["apiVersion"], document["kind"])
    if kind in crds:
        schema = crds[kind]
        schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
        close(schema)
        jsonschema.validate(document, schema)
    else:
        kubernetes_validate.validate(document, "1.34", strict=True)

for path in sorted(pathlib.Path(".").glob("*.yaml")):
    for document in yaml.safe_load_all(path.read_text()):
        check(document)
        print("valid:", path, document["kind"], document["metadata"]["name"])
        # A check that can't fail shows nothing.
        spec = next((part for part in (document.get("spec"), document) if isinstance(part, dict)))
        spec["misspelt"] = 1
        try:
            check(document)
        except Exception:
            continue
        sys.exit(f"{path}: a misspelt member of {document['kind']} is not noticed")
EOF
