{{/* The Platform document: what the chart knows, below what the values say. */}}
{{- define "mendloop.platform" -}}
{{- $models := dict -}}
{{- if and (hasKey (.Values.platform.models | default dict) "customResources") (not .Values.access.allNamespaces) -}}
{{- $_ := set $models "customResources" (dict "namespaces" (include "mendloop.namespaces" . | fromYamlArray)) -}}
{{- end -}}
{{- $known := dict
  "kubernetes" (dict "namespace" .Release.Namespace)
  "models" $models
  "http" (dict "port" (int .Values.service.port))
  "log" (dict "format" "json")
  "killSwitch" (dict "configMap" .Values.killSwitch.name)
  "checkpoints" (dict "configMap" (printf "%s-checkpoints" (include "mendloop.name" .)))
-}}
{{- if .Values.policies -}}
{{- $_ := set $known "policies" (dict "folders" (list "/etc/mendloop/policies")) -}}
{{- end -}}
apiVersion: mendloop.dev/v1alpha1
kind: Platform
metadata:
  name: {{ include "mendloop.name" . }}
spec: {{- mergeOverwrite $known (deepCopy .Values.platform) | toYaml | nindent 2 }}
{{- end -}}
