package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/audit/outside"
	"github.com/nodeseal/nodeseal/internal/audit/travel"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

// Snapshot is what the rules look at. Make it with a Recorder.
type Snapshot struct {
	// Images is what the cluster says about images.
	Images objects.Result
	// Containers are those of workloads, and of pods that no workload makes.
	Containers []Container
	Nodes      []Node
	// Settings are the objects that configure the cluster, by Kind.group and in
	// the order of their names.
	Settings map[string][]kubeobject.Object
	// Configs are the MachineConfigs, by name.
	Configs []Config
	// Held is what the images are compared with; nil is nothing.
	Held *Held
	// Problems are what could not be read.
	Problems []string
}

// Container is one container, or image volume, of a workload or a pod.
type Container struct {
	Kind, Namespace, Object string
	// Name is the container's; initial says that it runs before the others.
	Name    string
	Initial bool
	// Volume says that it is an image volume.
	Volume bool
	Image  string
	// Policy is imagePullPolicy as it stands; "" is what the image's tag implies.
	Policy string
	// Idle says that no reboot starts it: a workload at zero replicas, a CronJob.
	Idle bool
	// Owner is the object that would undo a change, "" where there is none.
	Owner   string
	Command []string
}

// Node is what is read of a node.
type Node struct {
	Name  string
	Roles []string
	Arch  string
	// Disk is the file system of kubelet, ImageBytes what its images take, in bytes.
	Disk, ImageBytes int64
	// Seen is its last heartbeat, the zero time if it does not say one.
	Seen time.Time
}

// Config is a MachineConfig.
type Config struct {
	Name, Role string
	// Rendered says that it is what a pool's nodes get; InUse that there are nodes
	// that have or get it.
	Rendered, InUse bool
	// Controller made it, "" where people did.
	Controller string
	kubeobject.MachineConfig
}

// Recorder makes a Snapshot of objects. The zero value is ready for use. It is
// safe for concurrent use.
type Recorder struct {
	collector objects.Collector

	mu         sync.Mutex
	containers []Container
	nodes      []Node
	settings   map[string][]kubeobject.Object
	configs    []Config

	// What is kept in bytes: of the files of configs, of settings, of containers.
	contents, settingsKept, containersKept amount
}

// What is kept of a cluster at most, in bytes. A hundred rendered MachineConfigs, with what rules
// look at in them, are some MiB, and so are 20,000 pods.
const (
	maxContents   = 32 << 20
	maxSettings   = 32 << 20
	maxContainers = 32 << 20
	// containerSize is what a Container takes beside its words.
	containerSize = 256
)

// amount is how many bytes are kept of something. The first that are too many are a problem, so
// that there is one of each kind; they are left out, and what follows is taken where it fits.
type amount struct {
	kept   int
	passed bool
}

// add reports whether n more bytes may be kept. The caller holds the lock of r.
func (a *amount) add(r *Recorder, o kubeobject.Object, n, most int, what string) bool {
	if a.kept+n <= most {
		a.kept += n
		return true
	}
	if !a.passed {
		a.passed = true
		r.collector.Report(objects.Problem{
			From: bundle.Origin{Kind: o.Kind, Namespace: o.Metadata.Namespace, Object: o.Metadata.Name},
			Err:  fmt.Errorf("%s have more than %d MiB: this one and others are not looked at", what, most>>20),
		})
	}
	return false
}

// settings are the kinds that rules read as they are.
func isSetting(groupKind string) bool {
	return slices.Contains(outside.Kinds(), groupKind) || slices.Contains([]string{
		"CatalogSource.operators.coreos.com", "OperatorHub.config.openshift.io", "ClusterCatalog.olm.operatorframework.io",
		"ImageStream.image.openshift.io", "Config.samples.operator.openshift.io", "KubeAPIServer.operator.openshift.io",
		"KubeletConfig.machineconfiguration.openshift.io", "ContainerRuntimeConfig.machineconfiguration.openshift.io",
		"PinnedImageSet.machineconfiguration.openshift.io", "Infrastructure.config.openshift.io",
		"NodeNetworkConfigurationPolicy.nmstate.io", "MachineConfigPool.machineconfiguration.openshift.io",
	}, groupKind)
}

// Add takes what o says. It keeps nothing of o.Raw.
func (r *Recorder) Add(o kubeobject.Object) {
	r.collector.Add(o)
	switch key := o.GroupKind(); {
	case key == "Node":
		r.node(o)
	case key == "MachineConfig.machineconfiguration.openshift.io":
		r.config(o)
	case isSetting(key) || travel.Watches(o):
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.settingsKept.add(r, o, len(o.Raw), maxSettings, "the objects with settings") {
			return
		}
		o.Raw = slices.Clone(o.Raw)
		if r.settings == nil {
			r.settings = make(map[string][]kubeobject.Object)
		}
		r.settings[key] = append(r.settings[key], o)
	default:
		r.pods(o)
	}
}

// Report adds a problem of reading the cluster.
func (r *Recorder) Report(p objects.Problem) { r.collector.Report(p) }

// pods records the containers of a workload or a pod. What another workload
// makes is left out: that one is recorded itself.
func (r *Recorder) pods(o kubeobject.Object) {
	owner := ""
	for _, w := range o.Metadata.Owners {
		switch w.Kind {
		case "ReplicaSet", "Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob", "ReplicationController", "DeploymentConfig":
			return
		}
		owner = w.Kind + " " + w.Name
	}
	var spec kubeobject.PodSpec
	idle := o.Kind == "CronJob" || o.Kind == "PodTemplate"
	if p, ok, err := o.Pod(); ok && err == nil {
		if p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" {
			return // runs no more, and nothing starts it again
		}
		spec = p.Spec
	} else if w, ok, err := o.Template(); ok && err == nil {
		spec = w.Template.Spec
		idle = idle || w.Replicas != nil && *w.Replicas == 0
	} else {
		return // what cannot be read is the collector's problem
	}
	var found []Container
	base := Container{Kind: o.Kind, Namespace: o.Metadata.Namespace, Object: o.Metadata.Name, Owner: owner, Idle: idle}
	for i, c := range spec.All() {
		if image := strings.TrimSpace(c.Image); image != "" {
			u := base
			u.Name, u.Initial, u.Image, u.Policy = c.Name, i < len(spec.InitContainers), image, c.ImagePullPolicy
			u.Command = slices.Concat(c.Command, c.Args)
			found = append(found, u)
		}
	}
	for _, v := range spec.Volumes {
		if v.Image != nil {
			u := base
			u.Name, u.Volume, u.Image, u.Policy = v.Name, true, v.Image.Reference, v.Image.PullPolicy
			found = append(found, u)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.containersKept.add(r, o, sizeOf(found), maxContainers, "the containers of all objects") {
		r.containers = append(r.containers, found...)
	}
}

// sizeOf returns about how many bytes containers take.
func sizeOf(containers []Container) int {
	n := 0
	for _, c := range containers {
		n += containerSize + len(c.Kind) + len(c.Namespace) + len(c.Object) + len(c.Owner) + len(c.Name) + len(c.Image) + len(c.Policy)
		for _, word := range c.Command {
			n += len(word) + 16
		}
	}
	return n
}

func (r *Recorder) node(o kubeobject.Object) {
	var v struct {
		Status struct {
			NodeInfo struct {
				Architecture string `json:"architecture"`
			} `json:"nodeInfo"`
			Capacity map[string]string `json:"capacity"`
			Images   []struct {
				Size int64 `json:"sizeBytes"`
			} `json:"images"`
			Conditions []struct {
				Heartbeat string `json:"lastHeartbeatTime"`
			} `json:"conditions"`
		} `json:"status"`
	}
	if o.Decode(&v) != nil {
		return // the collector's problem
	}
	n := Node{Name: o.Metadata.Name, Arch: v.Status.NodeInfo.Architecture, Disk: quantity(v.Status.Capacity["ephemeral-storage"])}
	for label := range o.Metadata.Labels {
		if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok {
			n.Roles = append(n.Roles, role)
		}
	}
	slices.Sort(n.Roles)
	for _, img := range v.Status.Images {
		n.ImageBytes += img.Size
	}
	for _, c := range v.Status.Conditions {
		if at, err := time.Parse(time.RFC3339, c.Heartbeat); err == nil && at.After(n.Seen) {
			n.Seen = at
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes = append(r.nodes, n)
}

func (r *Recorder) config(o kubeobject.Object) {
	mc, err := o.MachineConfig()
	if err != nil && len(mc.Files) == 0 {
		return // the collector's problem
	}
	// Only what rules look at is kept, as a copy: a slice of the object would keep all of it.
	var files []kubeobject.HostFile
	size := 0
	for _, f := range mc.Files {
		if lookedAt(f.Path) && len(f.Content) <= tomlbound.MaxSize {
			files = append(files, kubeobject.HostFile{Path: strings.Clone(f.Path), Content: strings.Clone(f.Content)})
			size += len(f.Content)
		}
	}
	c := Config{
		Name: o.Metadata.Name, Role: o.Metadata.Labels["machineconfiguration.openshift.io/role"],
		Rendered:      strings.HasPrefix(o.Metadata.Name, "rendered-"),
		Controller:    o.Metadata.Annotations["machineconfiguration.openshift.io/generated-by-controller-version"],
		MachineConfig: kubeobject.MachineConfig{Files: files},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.contents.add(r, o, size, maxContents, "the configuration files of all MachineConfigs") {
		r.configs = append(r.configs, c)
	}
}

// lookedAt reports the files of MachineConfigs that rules look at.
func lookedAt(name string) bool {
	return name == storageConf || name == kubeletConf || isRegistriesConf(name) ||
		travel.LooksAt(name) || strings.HasPrefix(name, crioConfDir) || strings.HasPrefix(name, networkDir) || name == machine.HostsFile
}

// Snapshot returns what was recorded, in an order that does not depend on the
// order of Add.
func (r *Recorder) Snapshot(held *Held) *Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &Snapshot{
		Images: r.collector.Result(), Containers: slices.Clone(r.containers), Nodes: slices.Clone(r.nodes),
		Settings: make(map[string][]kubeobject.Object), Configs: slices.Clone(r.configs), Held: held,
	}
	for _, p := range s.Images.Problems {
		s.Problems = append(s.Problems, p.Error())
	}
	for key, all := range r.settings {
		s.Settings[key] = slices.SortedFunc(slices.Values(all), func(a, b kubeobject.Object) int {
			return strings.Compare(a.String(), b.String())
		})
	}
	slices.SortFunc(s.Containers, func(a, b Container) int {
		return cmp.Or(strings.Compare(a.String(), b.String()), strings.Compare(a.Image, b.Image))
	})
	slices.SortFunc(s.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Configs, func(a, b Config) int { return strings.Compare(a.Name, b.Name) })
	s.markInUse()
	return s
}

// markInUse finds the rendered configurations that nodes of pools have or get.
func (s *Snapshot) markInUse() {
	for _, p := range s.pools() {
		for i := range s.Configs {
			if c := &s.Configs[i]; c.Name == p.wanted || c.Name == p.booted {
				c.InUse, c.Role = c.InUse || !p.empty, p.name
			}
		}
	}
}

// worst is the severity of what keeps the container from starting.
func (c Container) worst() Severity {
	if c.Idle {
		return Warning
	}
	return Breaks
}

// String is the container as findings name it.
func (c Container) String() string {
	name := c.Kind + " " + c.Namespace + "/" + c.Object
	if c.Volume {
		return name + " volume " + c.Name
	}
	return name + " container " + c.Name
}

// cluster describes the cluster for the report.
func (s *Snapshot) cluster() Cluster {
	c := Cluster{Nodes: len(s.Nodes), Architectures: s.Images.Architectures, Containers: len(s.Containers)}
	if len(s.Images.Releases) > 0 {
		c.Version = s.Images.Releases[0].Version
	}
	for _, o := range s.Settings["MachineConfigPool.machineconfiguration.openshift.io"] {
		c.Pools = append(c.Pools, o.Metadata.Name)
	}
	return c
}
