{{- define "adavit.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "adavit.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "adavit.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "adavit.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "adavit.selector" -}}
app.kubernetes.io/name: {{ include "adavit.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "adavit.labels" -}}
{{ include "adavit.selector" . }}
{{- with .Values.image.tag }}
app.kubernetes.io/version: {{ . | trunc 63 | trimAll "-_." | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "adavit.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "adavit.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "adavit.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- /* There is no default: with a tag that moves, nodes would run whatever they once pulled. */}}
{{- printf "%s:%s" .Values.image.repository (required "image.tag is missing: what you pushed, e.g. --set image.tag=1.0.0" .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* The number of threads to ask for, empty where the server sees a CPU limit by itself. */}}
{{- define "adavit.threads" -}}
{{- $limit := dig "limits" "cpu" "" .Values.resources | toString }}
{{- $request := dig "requests" "cpu" "" .Values.resources | toString }}
{{- if .Values.threads }}
{{- .Values.threads }}
{{- else if and (not $limit) $request }}
{{- if hasSuffix "m" $request }}
{{- max 1 (div (trimSuffix "m" $request | int) 1000) }}
{{- else }}
{{- max 1 (floor (float64 $request) | int) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "adavit.usesHub" -}}
{{- range .Values.models }}{{ if hasPrefix "hf:" .source }}yes{{ end }}{{ end }}
{{- end }}

{{- /* How a probe asks: the kubelet shows no client certificate, so with clientCA it can only connect. */}}
{{- define "adavit.probe" -}}
{{- if and .root.Values.tls.existingSecret .root.Values.tls.clientCA -}}
tcpSocket: {port: http}
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- if .root.Values.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
{{- end }}
{{- end }}
