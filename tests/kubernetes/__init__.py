"""The manifests of deploy/kubernetes, rendered by kustomize and held against the schemas of Kubernetes."""
