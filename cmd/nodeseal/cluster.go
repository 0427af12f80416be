package main

import (
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/imagelist/cluster"
)

// clusterOptions say which cluster to read, in oc's and kubectl's words.
type clusterOptions struct {
	use                 bool
	kubeconfig, context string
}

func (o *clusterOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.use, "cluster", false, "everything that a running cluster needs or can start; see docs/list.md")
	o.addReach(flags)
}

// addReach adds the flags that say how the cluster is reached.
func (o *clusterOptions) addReach(flags *pflag.FlagSet) {
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` of the cluster (default: oc's, or the pod's service account)")
	flags.StringVar(&o.context, "context", "", "context `NAME` of the kubeconfig (default: its current one)")
}

// client returns a client of the cluster.
func (o *clusterOptions) client(a *app) (*cluster.Client, error) {
	cfg, err := cluster.Config(o.kubeconfig, o.context)
	if err != nil {
		return nil, preconditionError{err}
	}
	client, err := cluster.New(cfg)
	if err != nil {
		return nil, err
	}
	client.Progress, client.Sleep = a.progress(), a.sleep
	return client, nil
}
