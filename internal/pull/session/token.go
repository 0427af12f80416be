package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// TokenError says that a token server answered with something else than a token.
type TokenError struct {
	// Server is host[:port]; Type is the media type of its answer, "" if it has none.
	Server, Type string
}

// Error implements error.
func (e *TokenError) Error() string {
	is := "something that is no JSON"
	if e.Type == "text/html" {
		is = "a web page"
	}
	return fmt.Sprintf("token server %s answered with %s, not with a token", e.Server, is)
}

// maxBlank is how much white space may come before a token, in bytes.
const maxBlank = 512

// checkToken returns a *TokenError if the answer of a token server is no JSON object. The
// registry library would say of it that a character is not valid. Of an answer that is
// one nothing is lost.
func checkToken(req *http.Request, resp *http.Response) error {
	r := bufio.NewReaderSize(resp.Body, maxBlank)
	head, err := r.Peek(1)
	for n := 2; err == nil && n <= maxBlank && isBlank(head[len(head)-1]); n++ {
		head, err = r.Peek(n)
	}
	if len(head) > 0 && head[len(head)-1] == '{' || err != nil && !errors.Is(err, io.EOF) {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{r, resp.Body}
		return nil
	}
	_ = resp.Body.Close()                                            // it is of no use
	mt, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // "" if there is none
	return &TokenError{Server: req.URL.Host, Type: mt}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
