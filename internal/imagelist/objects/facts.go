package objects

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// Facts is everything that one object says.
type Facts struct {
	// Images are the references that the object makes, as written.
	Images []Found
	// Known are references by tag whose digest the object names, without being
	// a reason to keep the image: a node's cached images, an import's result.
	Known []Known
	// Releases are the payloads that the cluster needs, the wanted one first.
	Releases []bundle.Release
	// Architectures are the nodes', in the words of GOARCH.
	Architectures []string
	Mirrors       []imagelist.Mirror
	Signatures    []imagelist.Signature
	// Configs names the rendered MachineConfigs that are in use.
	Configs []string
}

// Found is a reference with where it was found.
type Found struct {
	Ref string
	// Runs is the digest that runs under this reference, "" where not known.
	Runs digest.Digest
	// RunsAs is the reference by digest under which the node holds it, where a
	// pod's status names one. Its repository may be another one than Ref's.
	RunsAs string
	// Arch is set where only nodes of that architecture need the image.
	Arch string
	// Role is an imagelist.Entry's.
	Role string
	From bundle.Origin
}

// Known says which digest a reference means.
type Known struct {
	Ref    string
	Digest digest.Digest
}

// mustGather names the image that collects data for support.
const mustGather = "operators.openshift.io/must-gather-image"

// Extract says what o tells about images. It is pure, and may be called at the
// same time for many objects. Errors wrap kubeobject.ErrObject; the facts are then those
// found before.
func Extract(o kubeobject.Object) (Facts, error) {
	var f Facts
	err := f.extract(o)
	if ref := strings.TrimSpace(o.Metadata.Annotations[mustGather]); ref != "" {
		f.add(o, ref, "", "annotation "+mustGather)
	}
	return f, err
}

func (f *Facts) extract(o kubeobject.Object) error {
	if p, ok, err := o.Pod(); ok {
		f.pod(o, p)
		return err
	}
	if w, ok, err := o.Template(); ok {
		podImages(w.Template.Spec, func(ref, container, name string) { f.add(o, ref, container, name) })
		f.annotations(o, w.Template.Metadata.Annotations)
		f.annotations(o, o.Metadata.Annotations)
		return err
	}
	switch o.GroupKind() {
	case "Node":
		return f.node(o)
	case "ConfigMap":
		return f.configMap(o)
	case "ClusterVersion.config.openshift.io":
		return f.clusterVersion(o)
	case "ClusterServiceVersion.operators.coreos.com":
		return f.csv(o)
	case "CatalogSource.operators.coreos.com":
		return f.catalogSource(o)
	case "ClusterCatalog.olm.operatorframework.io":
		return f.clusterCatalog(o)
	case "ImageStream.image.openshift.io":
		return f.imageStream(o)
	case "MachineConfig.machineconfiguration.openshift.io":
		return f.machineConfig(o)
	case "MachineOSConfig.machineconfiguration.openshift.io", "MachineOSBuild.machineconfiguration.openshift.io":
		return f.machineOS(o)
	case "MachineConfigPool.machineconfiguration.openshift.io":
		return f.machineConfigPool(o)
	case "ImageDigestMirrorSet.config.openshift.io", "ImageTagMirrorSet.config.openshift.io",
		"ImageContentPolicy.config.openshift.io", "ImageContentSourcePolicy.operator.openshift.io":
		return f.mirrorSet(o)
	case "Route.route.openshift.io":
		return f.route(o)
	}
	if ignored(o.GroupKind()) {
		return nil
	}
	return f.everywhere(o)
}

// ignored reports kinds that name images which no node will ask for: history,
// caches, reports about images, and what nobody should read.
func ignored(groupKind string) bool {
	return slices.Contains(Ignored(), groupKind)
}

// Ignored lists, as Kind or Kind.group, what Extract does not look into.
func Ignored() []string {
	return []string{
		"Secret", "Event", "Event.events.k8s.io", "ControllerRevision.apps", "Lease.coordination.k8s.io",
		"CustomResourceDefinition.apiextensions.k8s.io", "Endpoints", "EndpointSlice.discovery.k8s.io",
		"Image.image.openshift.io", "ImageStreamTag.image.openshift.io", "ImageStreamImage.image.openshift.io",
		"ImageTag.image.openshift.io", "PackageManifest.packages.operators.coreos.com",
		"InstallPlan.operators.coreos.com", "Build.build.openshift.io",
		"TaskRun.tekton.dev", "PipelineRun.tekton.dev",
		"PolicyReport.wgpolicyk8s.io", "ClusterPolicyReport.wgpolicyk8s.io",
		"VulnerabilityReport.aquasecurity.github.io", "ConfigAuditReport.aquasecurity.github.io",
		"SbomReport.aquasecurity.github.io", "ImageManifestVuln.secscan.quay.redhat.com",
	}
}

// origin says that something was found in o: in a container of that name, and
// at the place called name, where these are not "".
func origin(o kubeobject.Object, container, name string) bundle.Origin {
	return bundle.Origin{
		Source: "cluster", Name: name, Kind: o.Kind,
		Namespace: o.Metadata.Namespace, Object: o.Metadata.Name, Container: container,
	}
}

func (f *Facts) add(o kubeobject.Object, ref, container, name string) {
	f.Images = append(f.Images, Found{Ref: ref, From: origin(o, container, name)})
}

// pod takes the references of a pod, each with the digest that runs.
func (f *Facts) pod(o kubeobject.Object, p kubeobject.Pod) {
	runs := make(map[string]string)
	for _, list := range [][]kubeobject.ContainerStatus{
		p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses,
	} {
		for _, s := range list {
			runs[s.Name] = s.ImageID
		}
	}
	podImages(p.Spec, func(ref, container, name string) {
		found := Found{Ref: ref, From: origin(o, container, name)}
		if name == "" {
			found.RunsAs, found.Runs = imageID(runs[container])
		}
		f.Images = append(f.Images, found)
	})
	f.annotations(o, o.Metadata.Annotations)
}

// imageID reads a pod's imageID: repository@sha256:…, with or without a scheme.
// A bare sha256:… names a configuration, not a manifest.
func imageID(id string) (ref string, d digest.Digest) {
	if _, after, ok := strings.Cut(id, "://"); ok {
		id = after
	}
	_, after, ok := strings.Cut(id, "@")
	if d = digest.Digest(after); !ok || d.Validate() != nil {
		return "", ""
	}
	return id, d
}

func (f *Facts) node(o kubeobject.Object) error {
	var v struct {
		Status struct {
			NodeInfo struct {
				Architecture    string `json:"architecture"`
				OperatingSystem string `json:"operatingSystem"`
			} `json:"nodeInfo"`
			Images []struct {
				Names []string `json:"names"`
			} `json:"images"`
		} `json:"status"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	arch := v.Status.NodeInfo.Architecture
	if arch == "" {
		arch = o.Metadata.Labels["kubernetes.io/arch"]
	}
	if arch != "" && v.Status.NodeInfo.OperatingSystem != "windows" {
		f.Architectures = append(f.Architectures, arch)
	}
	for _, img := range v.Status.Images {
		f.nodeImage(img.Names)
	}
	for _, key := range []string{"currentConfig", "desiredConfig"} {
		if c := o.Metadata.Annotations["machineconfiguration.openshift.io/"+key]; c != "" {
			f.Configs = append(f.Configs, c)
		}
	}
	defer f.markOS(len(f.Images))
	f.annotations(o, o.Metadata.Annotations)
	return nil
}

// nodeImage takes the names of one image in a node's store: its tags mean the
// digest that a name of the same repository carries.
func (f *Facts) nodeImage(names []string) {
	digests := make(map[string][]digest.Digest)
	for _, n := range names {
		if repo, d, ok := strings.Cut(n, "@"); ok && digest.Digest(d).Validate() == nil {
			digests[repo] = append(digests[repo], digest.Digest(d))
		}
	}
	for _, n := range names {
		i := strings.LastIndex(n, ":")
		if i <= strings.LastIndex(n, "/") || strings.Contains(n, "@") || strings.HasSuffix(n, ":<none>") {
			continue
		}
		// Several digests are a list and its instance; which is which the node does not say.
		if ds := digests[n[:i]]; len(ds) == 1 {
			f.Known = append(f.Known, Known{n, ds[0]})
		}
	}
}
