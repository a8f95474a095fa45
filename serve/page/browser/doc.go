// Package browser holds tests: of the web page in a real Chromium, and of openapi.yaml against a server's answers. It
// is a module of its own, so that a driver of browsers and a validator are no dependencies of the program.
//
//	cd serve/page/browser && go test ./...
//	ADAVIT_SERVER=http://127.0.0.1:8080 go test -count=1 ./...       # against a server that runs
//	ADAVIT_SCREENSHOTS=/tmp/page go test -count=1 -run Screenshots . # writes pictures of the page there
//
// Without ADAVIT_SERVER a server is played, with answers of the bundled model. Tests that need Chromium, or npm for
// axe-core, skip with a message where there is none.
package browser
