// Package cluster finds the images that a running cluster needs. It only reads,
// page by page, and goes on where single kinds or namespaces are forbidden:
// what it could not read is in the result's problems.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/nodeseal/nodeseal/internal/progress"
)

// Client reads one cluster. It is safe for concurrent use. It need not be closed.
type Client struct {
	rest      rest.Interface
	discovery discovery.DiscoveryInterface
	// Progress gets the objects read so far, in the phase "cluster"; nil is silent.
	Progress progress.Func
	// Sleep waits before a page is asked for again, until ctx is done at the latest,
	// and returns ctx's error then; nil waits on the system's timers.
	Sleep func(ctx context.Context, d time.Duration) error
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// ErrKubeconfig reports that no kubeconfig was found.
var ErrKubeconfig = errors.New("there is no kubeconfig")

// Config says how to reach a cluster: the file kubeconfig ("" is what oc would
// take: $KUBECONFIG, ~/.kube/config, or the pod's service account), and in it
// the context ("" is the current one).
func Config(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	rules.Warner = func(error) {} // a missing file of several in $KUBECONFIG is no error
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: context, ClusterDefaults: api.Cluster{}}).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err) || errors.Is(err, rest.ErrNotInCluster):
		return nil, fmt.Errorf("%w: $KUBECONFIG and ~/.kube/config name no cluster, and this is no pod", ErrKubeconfig)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrKubeconfig, err)
	case err != nil:
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return cfg, nil
}

// New makes a client. It does not connect yet. cfg is not changed.
func New(cfg *rest.Config) (*Client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = "nodeseal"
	// The requests are few and large; the server's own fairness rules bound them.
	cfg.QPS = -1
	cfg.WarningHandler = rest.NoWarnings{}
	// Compressing costs the server more than a staging site's network does.
	cfg.DisableCompression = true
	cfg.ContentConfig = rest.ContentConfig{
		ContentType:          runtime.ContentTypeJSON,
		GroupVersion:         &schema.GroupVersion{},
		NegotiatedSerializer: statusCodecs(),
	}
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing cluster client: %w", err)
	}
	httpClient.CheckRedirect = sameHost
	if httpClient.Transport == nil {
		httpClient.Transport = http.DefaultTransport
	}
	httpClient.Transport = bounded{httpClient.Transport}
	restClient, err := rest.UnversionedRESTClientForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing cluster client: %w", err)
	}
	found, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("preparing cluster client: %w", err)
	}
	return &Client{rest: restClient, discovery: found}, nil
}

// statusCodecs reads what an API server says about errors. Everything else is
// read as plain JSON: the types of all kinds would cost 20 MB of binary.
func statusCodecs() runtime.NegotiatedSerializer {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return serializer.NewCodecFactory(scheme).WithoutConversion()
}
