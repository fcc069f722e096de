{{/*
What the adapters in tools/ call, no more and no less: tests/infra/test_permissions.py runs them
against an API server that grants exactly this, and finds every verb that nobody needs.
Server-side apply of an object that does not exist yet needs both `patch` and `create`.
*/}}

{{/* In the namespaces of the managed models. */}}
{{- define "mendloop.permissions" -}}
- apiGroups: [mendloop.dev]
  resources: [managedmodels]
  verbs: [get, list, watch]
# Phase and conditions, for `kubectl get managedmodels`; never the spec.
- apiGroups: [mendloop.dev]
  resources: [managedmodels/status]
  verbs: [patch]
# Incidents that begin and end, for `kubectl describe managedmodel`.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [networking.istio.io]
  resources: [virtualservices]
  verbs: [get, list, watch{{ if eq .Values.access.level "act" }}, patch{{ end }}]
- apiGroups: [networking.istio.io]
  resources: [destinationrules]
  verbs: [get, list, watch{{ if eq .Values.access.level "act" }}, create, patch{{ end }}]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch{{ if eq .Values.access.level "act" }}, create, patch, delete{{ end }}]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- if eq .Values.access.level "act" }}
- apiGroups: [""]
  resources: [services]
  verbs: [get, create, patch, delete]
# Where one owns the number of replicas, mendloop leaves it alone.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
# The servers' configuration, and the highest fencing token that wrote to a target.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, update, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch, delete]
{{- end }}
{{- end -}}

{{/* In the release's own namespace: who owns which target, the kill switch, the journal's roots. */}}
{{- define "mendloop.permissions.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, create, update, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, update]
{{- end -}}
