package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

const (
	// maxPage bounds one page of a list, in bytes; it is read as it comes.
	maxPage = 1 << 30
	// maxSmall bounds every other answer: what kinds there are, and errors. They are read whole.
	maxSmall = 8 << 20
)

// errRedirect is the error about a server that sends the client, and its token, elsewhere.
var errRedirect = errors.New("the API server redirects to another host, which would get the credentials: name the right server in the kubeconfig")

// sameHost follows redirects within the server only: the transport adds the credentials to each
// request, whatever its host.
func sameHost(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		return fmt.Errorf("%w (%.200s)", errRedirect, req.URL.Host)
	}
	if len(via) >= 10 {
		return errors.New("the API server redirects without end")
	}
	return nil
}

// bounded holds the answers of a server to a length.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err != nil || resp.Body == nil {
		return resp, err
	}
	if resp.StatusCode == http.StatusOK && req.URL.Query().Get("limit") != "" {
		resp.Body = &limitedBody{resp.Body, maxPage}
		return resp, nil
	}
	data, err := io.ReadAll(&limitedBody{resp.Body, maxSmall})
	if err == nil {
		err = jsonbound.Check(data)
	}
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", req.URL.Path, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// limitedBody is a body of which at most left bytes more are read.
type limitedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (l *limitedBody) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%w: the answer does not end", kubeobject.ErrObject)
	}
	return n, err
}
