package nodestatus

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// Lookup finds the addresses of a host, as the node does.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

const (
	// answerTime is how long a name server may take. CRI-O waits ten seconds.
	answerTime = time.Second
	// maxHosts bounds how many registries are looked up.
	maxHosts = 32
)

// names looks up the registries of the slots, as CRI-O up to 1.34 does before each pull, on
// a node that sends pulls to nodeseal serve.
func (c *collector) names(ctx context.Context) {
	conf := nodeconfig.RegistriesConfFile
	if c.opts.Path != nil {
		conf = c.opts.Path(conf)
	}
	if _, err := os.Stat(conf); err != nil || c.opts.Lookup == nil || c.opts.OtherDisk {
		return
	}
	var repositories []string
	for _, s := range c.slots {
		for _, r := range s.Store.References {
			if named, err := reference.ParseNormalizedNamed(r.Name); err == nil {
				repositories = append(repositories, named.Name())
			}
		}
	}
	hosts := machine.RegistryHosts(repositories)
	hosts = hosts[:min(maxHosts, len(hosts))]
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var silent, unverified []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, host := range hosts {
		wg.Go(func() {
			addrs, err := c.opts.Lookup(ctx, host)
			mu.Lock()
			defer mu.Unlock()
			var dns *net.DNSError
			switch {
			case errors.Is(err, context.DeadlineExceeded), errors.As(err, &dns) && dns.IsTimeout:
				silent = append(silent, host)
			case slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is4() && a.Unmap().IsLoopback() }):
				unverified = append(unverified, host)
			}
		})
	}
	wg.Wait()
	slices.Sort(silent)
	slices.Sort(unverified)
	if len(silent) > 0 {
		c.warn("DNS", "no answer within a second for %s: up to CRI-O 1.34 (OpenShift 4.21) each pull (imagePullPolicy Always) waits ten seconds for it; "+
			"nodeseal config machineconfig --no-registries ends that on nodes that never reach a registry", strings.Join(silent, ", "))
	}
	if len(unverified) > 0 {
		c.warn("DNS", "%s has an address of 127.0.0.0/8: up to CRI-O 1.34 pulls from there verify no certificate", strings.Join(unverified, ", "))
	}
}
