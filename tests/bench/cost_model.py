"""What a step costs, as cluster/scaling.md explains it, and the machines that it is applied to. Times
are in seconds, bandwidths in bytes a second."""
import dataclasses

GRADIENT_BYTES = 4 * 113738  # of the article's network
WORTH_IT = 1.3  # a doubling of the ranks that makes a step less than so many times as fast is no use


@dataclasses.dataclass
class Compute:
    fixed: float  # of a step
    shard: float
    image: float

    @classmethod
    def fitted(cls, steps):
        """To {(images, shards): seconds} of one rank."""
        return cls(*fit([(1, shards, images) for images, shards in steps], steps.values()))

    def __call__(self, images, shards):
        return self.fixed + self.shard * shards + self.image * images


@dataclasses.dataclass
class Link:
    latency: float  # of a message
    bandwidth: float

    @classmethod
    def fitted(cls, sums, ranks):
        """To {bytes: seconds} of an all-reduce."""
        latency, byte = fit([(2 * (ranks - 1), 2 * (ranks - 1) / ranks * size) for size in sums],
                            sums.values())
        return cls(latency, 1 / byte)


@dataclasses.dataclass
class Network:
    """A ring of 2 (P - 1) messages, of which 2 (nodes - 1) one after another go from node to node."""
    start: float
    inside: Link
    between: Link
    ranks_of_a_node: int

    def sum(self, ranks, size=GRADIENT_BYTES):
        if ranks == 1:
            return 0
        nodes = -(-ranks // self.ranks_of_a_node)
        messages, hops = 2 * (ranks - 1), 2 * (nodes - 1)
        bandwidth = self.inside.bandwidth if nodes == 1 else min(
            self.inside.bandwidth, self.between.bandwidth)
        return (self.start + (messages - hops) * self.inside.latency + hops * self.between.latency
                + messages / ranks * size / bandwidth)


def one_machine(link):
    return Network(0, link, link, ranks_of_a_node=1 << 30)


def step(compute, network, ranks, batch, shards):
    """Of the rank that has the most."""
    return compute(-(-batch // ranks), -(-shards // ranks)) + network.sum(ranks)


def fit(rows, values):
    """The factors of the columns with the least squares of the relative errors."""
    rows = [[cell / value for cell in row] for row, value in zip(rows, values)]
    columns = list(zip(*rows))
    # The normal equations, solved by elimination; they are few and far from singular.
    system = [[sum(a * b for a, b in zip(one, other)) for other in columns] + [sum(one)]
              for one in columns]
    for i, pivot in enumerate(system):
        pivot[:] = [cell / pivot[i] for cell in pivot]
        for row in system:
            if row is not pivot:
                row[:] = [cell - row[i] * of_pivot for cell, of_pivot in zip(row, pivot)]
    return [row[-1] for row in system]


# Assumptions, none of them measured here: their sources are in cluster/scaling.md.
GPU = Compute(fixed=400e-6, shard=0, image=2e-6)
NVLINK = Link(latency=1.9e-6, bandwidth=100e9)
ETHERNET = Link(latency=30e-6, bandwidth=5e9)
CLUSTERS = {
    "8-GPU nodes: NVLink inside, 100 Gb/s Ethernet between": Network(10e-6, NVLINK, ETHERNET, 8),
    "nodes of one GPU, 100 Gb/s Ethernet": Network(10e-6, ETHERNET, ETHERNET, 1),
}


def stops_at(compute, network, batch):
    """The ranks beyond which a doubling is not worth it, one shard a rank."""
    ranks = 1
    while (step(compute, network, ranks, batch, ranks)
           > WORTH_IT * step(compute, network, 2 * ranks, batch, 2 * ranks)):
        ranks *= 2
    return ranks


def print_clusters(compute=GPU, clusters=CLUSTERS, most=64):
    for name, network in clusters.items():
        for batch in (64, 2048):
            print(f"{name}, batch {batch}: stops at {stops_at(compute, network, batch)}")
            print("  ranks   step ms   of it sum   times one rank")
            alone = step(compute, network, 1, batch, 1)
            ranks = 1
            while ranks <= most:
                seconds = step(compute, network, ranks, batch, ranks)
                print(f"  {ranks:5}  {seconds * 1e3:8.3f}  {network.sum(ranks) * 1e3:10.3f}"
                      f"  {alone / seconds:15.2f}")
                ranks *= 2
