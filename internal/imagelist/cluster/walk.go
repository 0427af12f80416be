package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/progress"
)

// parallel bounds the lists that are read at once.
const parallel = 4

// ForbiddenError says what the account may not list.
type ForbiddenError struct {
	// Resource is resource.group, as in kubectl.
	Resource string
	// Namespaces are those that are closed, sorted; none means that the kind is
	// closed in the whole cluster.
	Namespaces []string
}

// maxNamed bounds how many namespaces the text of an error names.
const maxNamed = 5

// Error names the resource and the first namespaces.
func (e *ForbiddenError) Error() string {
	text := "listing " + e.Resource + " is forbidden"
	if len(e.Namespaces) == 0 {
		return text
	}
	text += fmt.Sprintf(" in %d namespaces: ", len(e.Namespaces))
	if len(e.Namespaces) == 1 {
		text = strings.Replace(text, "1 namespaces: ", "namespace ", 1)
	}
	if len(e.Namespaces) > maxNamed {
		return text + strings.Join(e.Namespaces[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(e.Namespaces)-maxNamed)
	}
	return text + strings.Join(e.Namespaces, ", ")
}

// Images reads all that the cluster says about images.
func (c *Client) Images(ctx context.Context) (objects.Result, error) {
	var collector objects.Collector
	problems, err := c.Walk(ctx, collector.Add)
	if err != nil {
		return objects.Result{}, err
	}
	for _, p := range problems {
		collector.Report(p)
	}
	return collector.Result(), nil
}

// Walk calls each for every object that can say something about images or their
// use; each is called from several goroutines at once, and must not keep the
// object's Raw. What may not or cannot be read is returned as problems, sorted,
// as *ForbiddenError where the account lacks the right. Walk stops with an error
// where nothing can be read: ErrUnreachable, or that of the server where it does
// not know the account.
func (c *Client) Walk(ctx context.Context, each func(kubeobject.Object)) ([]objects.Problem, error) {
	c.Progress.Begin(phase, 0, progress.Count)
	defer c.Progress.End(phase)
	kinds, problems, err := c.kinds()
	if err != nil {
		if statusCode(err) == 0 {
			err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	w := &walker{client: c, each: each, problems: problems}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, k := range kinds {
		g.Go(func() error { return w.list(ctx, k) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(w.problems, func(a, b objects.Problem) int { return strings.Compare(a.Error(), b.Error()) })
	return w.problems, nil
}

type walker struct {
	client *Client
	each   func(kubeobject.Object)

	mu       sync.Mutex
	problems []objects.Problem

	once       sync.Once
	namespaces []string // of the cluster, or those that the account may see
}

func (w *walker) report(k kind, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, objects.Problem{From: bundle.Origin{Source: "cluster", Kind: k.Kind}, Err: err})
}

// list reads one kind: in the whole cluster, or else namespace by namespace. Only
// errors that stop everything are returned.
func (w *walker) list(ctx context.Context, k kind) error {
	err := w.lister(k, k.Namespace).run(ctx)
	switch {
	case err == nil || gone(err):
		return nil
	case fatal(err):
		return err
	case !apierrors.IsForbidden(err):
		w.report(k, err)
		return nil
	case !k.Namespaced || k.Namespace != "" || k.Custom:
		w.report(k, &ForbiddenError{Resource: k.name()})
		return nil
	}
	w.once.Do(func() { w.namespaces = w.visible(ctx) })
	var closed []string
	for _, ns := range w.namespaces {
		err := w.lister(k, ns).run(ctx)
		switch {
		case err == nil || gone(err):
		case fatal(err):
			return err
		case apierrors.IsForbidden(err):
			closed = append(closed, ns)
		default:
			w.report(k, fmt.Errorf("namespace %s: %w", ns, err))
		}
	}
	switch {
	case len(closed) == len(w.namespaces):
		w.report(k, &ForbiddenError{Resource: k.name()})
	case len(closed) > 0:
		w.report(k, &ForbiddenError{Resource: k.name(), Namespaces: closed})
	}
	return nil
}

func (w *walker) lister(k kind, namespace string) *lister {
	return &lister{client: w.client, kind: k, namespace: namespace, each: w.each}
}

// visible returns the names of the cluster's namespaces, or of the projects
// that the account may see, sorted. Where neither may be listed there are none.
func (w *walker) visible(ctx context.Context) []string {
	for _, k := range []kind{
		{GroupVersion: schema.GroupVersion{Version: "v1"}, Resource: "namespaces", Kind: "Namespace"},
		{GroupVersion: schema.GroupVersion{Group: "project.openshift.io", Version: "v1"}, Resource: "projects", Kind: "Project"},
	} {
		var names []string
		l := &lister{client: w.client, kind: k, each: func(o kubeobject.Object) { names = append(names, o.Metadata.Name) }}
		if err := l.run(ctx); err == nil {
			slices.Sort(names)
			if k.Resource == "projects" && len(names) > 0 {
				// Only some of the namespaces: the list is not whole whatever they say.
				w.report(k, errSomeProjects)
			}
			return names
		}
	}
	return nil
}

var errSomeProjects = errors.New("only the account's own projects were read, not all namespaces")
