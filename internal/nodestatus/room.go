package nodestatus

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/diskbudget"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

const (
	// kubeletConf is the configuration of OpenShift's kubelet, of at most maxKubeletConf bytes.
	kubeletConf    = "/etc/kubernetes/kubelet.conf"
	maxKubeletConf = 1 << 20
	// nearPoints is how many percent points below kubelet's threshold are told.
	nearPoints = 5
)

// room compares the file system with the threshold from which kubelet removes images. Where
// the slots have a file system of their own, kubelet does not count them.
func (c *collector) room() {
	dir := c.opts.Root.Dir()
	shared := slices.ContainsFunc(c.out.Readers, func(r Reader) bool {
		return r.GraphRoot != "" && sameDisk(dir, c.path(r.GraphRoot))
	})
	var st unix.Statfs_t
	if !shared || unix.Statfs(dir, &st) != nil || st.Blocks == 0 {
		return
	}
	c.full(usedPercent(&st), c.collectFrom())
}

// usedPercent is what kubelet takes for the use of a file system: what is reserved for
// root counts as used.
func usedPercent(st *unix.Statfs_t) int { return 100 - int(st.Bavail*100/st.Blocks) }

// full warns of a file system that is used so far that kubelet removes images, or soon
// will. From 100 on kubelet removes none.
func (c *collector) full(used, from int) {
	const then = "it can free nothing of what the slots take, and evicts pods where that is not enough: " +
		"remove other files, or give the slots a file system of their own (docs/node.md, Preflight)"
	switch {
	case from >= 100 || used < from-nearPoints:
	case used < from:
		c.warn(c.opts.Root.Dir(), "the file system, which it shares with the graph root, is %d%% full: kubelet removes images from %d%% on (imageGCHighThresholdPercent), and then "+then, used, from)
	default:
		c.warn(c.opts.Root.Dir(), "the file system, which it shares with the graph root, is %d%% full: kubelet removes images, which it does from %d%% on (imageGCHighThresholdPercent); "+then, used, from)
	}
}

// collectFrom is the threshold of the node's kubelet, in percent; kubelet's default if
// its configuration names none or cannot be read.
func (c *collector) collectFrom() int {
	conf := struct {
		High int `json:"imageGCHighThresholdPercent"`
	}{High: diskbudget.Threshold}
	text, err := safefile.ReadFile(c.path(kubeletConf), maxKubeletConf)
	if err != nil || kubeobject.UnmarshalYAML(string(text), &conf) != nil || conf.High <= 0 || conf.High > 100 {
		return diskbudget.Threshold
	}
	return conf.High
}
