package installneeds

import (
	"regexp"
	"slices"

	"github.com/nodeseal/nodeseal/internal/imagelist/release"
)

// Who asks for images, in the words of people who read their logs.
const (
	download  = "release-image-download.sh on the bootstrap machine (podman pull, without end)"
	bootkube  = "bootkube.sh on the bootstrap machine (podman run)"
	bootPods  = "static pods of the bootstrap machine"
	bootCVO   = "the bootstrap pod of the cluster version operator (imagePullPolicy: Always)"
	pause     = "CRI-O, for each pod (crio-configure.sh on the bootstrap machine, then the machine-config operator)"
	bootMCO   = "the machine-config operator's bootstrap command, which ends without it"
	nodePods  = "static pods of nodes that hold a virtual IP"
	nodeIP    = "nodeip-configuration and resolv-prepender on each node, before kubelet (podman)"
	mcdPull   = "machine-config-daemon-pull.service at each node's first boot (podman pull, without end)"
	mcdFirst  = "machine-config-daemon-firstboot.service at each node's first boot"
	nodeImage = "node-image-pull.sh on the bootstrap machine, from 4.17 on (ostree container image pull, without end)"
	extended  = "the machine-config daemon, if a MachineConfig asks for extensions or another kernel"
	agentUnit = "get-container-images.sh and the units of the agent-based installer (podman run)"
	assisted  = "assisted-service (oc adm release info)"
	extract   = "assisted-service (oc adm release extract), which reads a registry and never local storage"
	operators = "the cluster version operator, or an operator that it starts"
)

// need is one image of a release that installations ask for.
type need struct {
	component string
	asks      []string
	// agent is for the agent-based installer alone.
	agent bool
	// original says that the asking program reads the registry's own layers.
	original bool
}

// releaseImage stands for the release image itself, which is no component.
const releaseImage = "release image"

// table is what installations ask for by name, besides the operating system. Which of these
// components there are differs between releases: of each release, its own count.
func table() []need {
	return []need{
		{component: releaseImage, asks: []string{download, bootkube, bootCVO}},
		{component: releaseImage, asks: []string{assisted}, agent: true, original: true},
		{component: "cluster-bootstrap", asks: []string{bootkube}},
		{component: "cluster-config-operator", asks: []string{bootkube}},
		{component: "cluster-etcd-operator", asks: []string{bootkube}},
		{component: "cluster-ingress-operator", asks: []string{bootkube}},
		{component: "cluster-kube-apiserver-operator", asks: []string{bootkube}},
		{component: "cluster-kube-controller-manager-operator", asks: []string{bootkube}},
		{component: "cluster-kube-scheduler-operator", asks: []string{bootkube}},
		{component: "cluster-policy-controller", asks: []string{bootPods}},
		{component: "cloud-credential-operator", asks: []string{bootkube}},
		{component: "etcd", asks: []string{bootkube, bootPods}},
		{component: "hyperkube", asks: []string{bootPods}},
		{component: "pod", asks: []string{pause}},
		{component: "machine-config-operator", asks: []string{bootkube, bootPods, mcdPull, mcdFirst}},
		{component: "baremetal-runtimecfg", asks: []string{nodeIP, bootMCO}},
		{component: "coredns", asks: []string{nodePods, bootMCO}},
		{component: "haproxy-router", asks: []string{nodePods, bootMCO}},
		{component: "keepalived-ipfailover", asks: []string{nodePods, bootMCO}},
		{component: "kube-rbac-proxy", asks: []string{bootMCO}},
		{component: "agent-installer-api-server", asks: []string{agentUnit}, agent: true},
		{component: "agent-installer-csr-approver", asks: []string{agentUnit}, agent: true},
		{component: "agent-installer-node-agent", asks: []string{agentUnit}, agent: true},
		{component: "agent-installer-orchestrator", asks: []string{agentUnit}, agent: true},
		{component: "must-gather", asks: []string{assisted}, agent: true},
		{component: "installer", asks: []string{extract}, agent: true, original: true},
		{component: "baremetal-installer", asks: []string{extract}, agent: true, original: true},
	}
}

// systems are the needs of the images of the operating system, of which a release may have several.
func systems(components []release.Component) (out []need) {
	for _, c := range components {
		if c.IsOS() {
			out = append(out, need{component: c.Name, asks: []string{nodeImage, mcdFirst}, original: true})
		}
	}
	return out
}

// extensions matches the images with packages for the operating system.
var extensions = regexp.MustCompile(`-coreos(-[0-9.]+)?-extensions$`)

// platforms matches the components that run on a platform of its own only; clusters without one do
// not ask for them.
var platforms = regexp.MustCompile(`^(alibaba|aws|azure|gcp|ibm|ibmcloud|kubevirt|kuryr|libvirt|nutanix|openstack|ovirt|powervs|vsphere)-|^csi-driver-manila`)

// clusterPlatforms are the values of platform in install-config.yaml of clusters that ask for none of those.
func clusterPlatforms() []string { return []string{"none", "baremetal"} }

// needs are those of a flavor, for a release with components: first what is asked for by name, then
// all other components, but for those of other platforms.
func needs(f Flavor, components []release.Component) []need {
	has := map[string]bool{releaseImage: true}
	for _, c := range components {
		has[c.Name] = true
	}
	named := make(map[string]bool)
	var out []need
	for _, n := range slices.Concat(table(), systems(components)) {
		if n.agent && f != Agent || !has[n.component] {
			continue
		}
		named[n.component] = true
		out = append(out, n)
	}
	for _, c := range components {
		if named[c.Name] || platforms.MatchString(c.Name) {
			continue
		}
		asks := operators
		if extensions.MatchString(c.Name) {
			asks = extended
		}
		out = append(out, need{component: c.Name, asks: []string{asks}})
	}
	return out
}
