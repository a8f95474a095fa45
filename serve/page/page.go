// Package page holds what the server shows to people: a web page that classifies pictures and shows where the model
// looked, and openapi.yaml, the description of the REST interface.
//
// The page is one document. It is put together here from the files under web: style and script stand in it, so that it
// needs nothing from anywhere else, and its policy allows just these two by their hashes. It talks to no server but the
// one that it came from, by relative addresses, so that a proxy may put it under any path.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/adavit/adavit/report"
)

var (
	//go:embed web/index.html
	document string
	//go:embed web/page.css
	pageStyle string
	//go:embed web/cards.css
	cardsStyle string

	//go:embed web/core.js
	coreScript string
	//go:embed web/api.js
	apiScript string
	//go:embed web/depth.js
	depthScript string
	//go:embed web/card.js
	cardScript string
	//go:embed web/models.js
	modelsScript string
	//go:embed web/live.js
	liveScript string
	//go:embed web/samples.js
	samplesScript string
	//go:embed web/main.js
	mainScript string

	//go:embed openapi.yaml
	openAPI []byte
)

var index, policy = assemble()

// assemble puts the page together, and the policy that goes with it.
func assemble() (page []byte, policy string) {
	colors, gone := report.Scale()
	style := report.Style() + pageStyle + cardsStyle
	script := strings.NewReplacer("{{scale}}", literal(colors), "{{gone}}", literal(gone)).Replace(
		coreScript + apiScript + depthScript + cardScript + modelsScript + liveScript +
			samplesScript + mainScript)
	text := strings.NewReplacer("{{style}}", style, "{{script}}", script).Replace(document)
	return []byte(text), strings.Join([]string{
		"default-src 'none'",
		"script-src " + source(script),
		"style-src " + source(style),
		"img-src data: blob:", // pictures as they were chosen, and as the model saw them
		"connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

// literal is v in JavaScript.
func literal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("page: " + err.Error()) // strings cannot fail
	}
	return string(b)
}

// source allows one inline text in a policy.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Index returns the web page, in HTML.
func Index() []byte { return bytes.Clone(index) }

// ContentSecurityPolicy returns the header of that name without which the page must not be sent: it allows the page's
// own style and script, pictures that it holds itself, and requests to the server that it came from.
func ContentSecurityPolicy() string { return policy }

// OpenAPI returns the description of the REST interface, in YAML.
func OpenAPI() []byte { return bytes.Clone(openAPI) }

// ServeIndex answers a request for the page, with the headers that go with it. Browsers ask whether theirs is still the
// newest, by its ETag.
func ServeIndex(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	serve(w, r, "text/html; charset=utf-8", index)
}

// ServeOpenAPI answers a request for openapi.yaml.
func ServeOpenAPI(w http.ResponseWriter, r *http.Request) { serve(w, r, "application/yaml", openAPI) }

func serve(w http.ResponseWriter, r *http.Request, kind string, content []byte) {
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
