// Package page holds the web page.
package page

var (
	OpenAPI = []byte("openapi: 3.1.0\n")
	HTML    = []byte("<!doctype html><title>adavit</title>")
)

const Policy = "default-src 'self'"
