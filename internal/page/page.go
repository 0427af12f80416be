// Package page is the frame of the HTML pages that nodeseal writes: one file that needs no other, with a light and a
// dark look, for a phone, a desk and a printer. A page loads nothing, and runs no script but the one of this package
// that sorts tables: its policy (CSP) names style and script by their digests.
package page

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // style and script
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

//go:embed page.css
var common string

//go:embed sort.js
var sorting string

// Page is one page.
type Page struct {
	Title string
	// Style is what the page adds to the style that all pages have. It is the program's own text, as Body is.
	Style string
	// Sorts lets people sort tables of the class "sortable" by the columns of their first row of heads. A
	// cell's value is its attribute data-v, else its text.
	Sorts bool
	// Body is the template of what is between <main> and </main>, Funcs are what it calls.
	Body  string
	Funcs template.FuncMap
}

// Write writes the page with data in its body, while the body is made.
func (p Page) Write(w io.Writer, data any) error {
	body, err := template.New("page").Funcs(p.Funcs).Parse(p.Body)
	if err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	style := common + p.Style
	policy := "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + source(style)
	script := ""
	if p.Sorts {
		policy += "; script-src " + source(sorting)
		script = "<script>" + sorting + "</script>\n"
	}
	if _, err := io.WriteString(w, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="`+policy+`">
<title>`+template.HTMLEscapeString(p.Title)+`</title>
<style>`+style+`</style>
</head>
<body>
<main>
`); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	if err := body.Execute(w, data); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	if _, err := io.WriteString(w, "</main>\n"+script+"</body>\n</html>\n"); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	return nil
}

// source names a style or a script by its digest, as a Content-Security-Policy does.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// WriteFile writes a page into a file, which has its name only if write returned no error.
func WriteFile(path string, write func(w io.Writer) error) (err error) {
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer f.Close() //nolint:errcheck // removes what Commit did not name
	b := bufio.NewWriterSize(f, 1<<16)
	if err = write(b); err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Commit()
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Cut returns text of at most n characters, with an ellipsis in the place of what is left out at its end.
func Cut(text string, n int) string {
	if n < 2 || len(text) <= n {
		return text
	}
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return strings.TrimRight(string(runes[:n-1]), " ") + "…"
}
